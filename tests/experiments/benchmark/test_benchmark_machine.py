"""The description of the processor."""

from experiments.benchmark import machine

X86 = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC(TM) 9R14 96-Core Processor
stepping\t: 1
flags\t\t: fpu sse2 avx avx2 fma avx512_bf16

processor\t: 1
model name\t: Another
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd sve\nCPU implementer\t: 0x41\n"


def test_the_first_core_is_described():
    assert machine.parse(X86) == {
        "name": "AMD EPYC 9R14 96-Core",
        "family_model_stepping": "25/17/1",
        "instruction_sets": ["avx", "avx2", "avx512_bf16", "fma"],
    }


def test_an_arm_core_has_no_name():
    assert machine.parse(ARM) == {
        "name": "unknown",
        "family_model_stepping": "",
        "instruction_sets": ["asimd", "sve"],
    }


def test_elsewhere_nothing_is_known(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "none")
    assert machine.processor() == {}
