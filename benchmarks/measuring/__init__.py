"""What benchmarks share: the profile that they measure, the machine they ran on, and the page they write."""
