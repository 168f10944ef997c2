"""The block diagram on the command line."""


def test_area_shows_the_diagram_without_a_trace(accepted, arch):
    words = accepted("area", arch("nm816"), "--explain").words
    assert "output_stationary:" in words
    assert "selector → [compressed_buffer]" in words
