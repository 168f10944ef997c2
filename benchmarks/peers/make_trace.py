"""Write an accelsim trace of one GEMM with Gaussian activations: FILE TOKENS IN OUT."""

import sys

import numpy as np

from accelsim.trace.npz import TraceWriter
from accelsim.trace.record import InputInfo, Linear, TraceMeta

tokens, in_features, out_features = map(int, sys.argv[2:])
values = np.random.default_rng(0).standard_normal((tokens, in_features))
meta = TraceMeta(
    model="gemm",
    sequence_lengths=(tokens,),
    linears=(Linear(name="gemm", input="x", in_features=in_features, out_features=out_features),),
    inputs={"x": InputInfo(dtype="float16")},
)
with TraceWriter(sys.argv[1]) as writer:
    writer.add("x", values.astype(np.float16))
    writer.finish(meta)
