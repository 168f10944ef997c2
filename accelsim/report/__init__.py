"""Tables, sentences, timelines and waveforms."""
