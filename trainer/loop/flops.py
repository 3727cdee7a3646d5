"""Floating-point operations of a model, and what part of a GPU's peak they are (MFU)."""

# Dense bf16 peaks in FLOP/s by the start of the device's name, as its maker's data sheet has them.
PEAKS = {
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100 NVL": 835e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
    "NVIDIA GH200": 989e12,
    "NVIDIA B200": 2250e12,
    "NVIDIA A100": 312e12,
    "NVIDIA L40S": 362e12,
}


def peak_of(device: str) -> float | None:
    """The peak of a device by its name; None when it is not known."""
    return next((peak for name, peak in PEAKS.items() if device.startswith(name)), None)
