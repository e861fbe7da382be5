"""What the processor computes natively."""

from pathlib import Path

CPU_INFO = Path('/proc/cpuinfo')
BFLOAT16_FLAGS = {'avx512_bf16', 'amx_bf16', 'bf16'}  # as Linux names them: x86 twice, Arm


def cpu_computes_bfloat16() -> bool:
    """Whether Linux lists bfloat16 instructions; False where there is no such list."""
    return CPU_INFO.exists() and not BFLOAT16_FLAGS.isdisjoint(CPU_INFO.read_text().split())
