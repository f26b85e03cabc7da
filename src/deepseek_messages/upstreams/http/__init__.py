"""HTTP upwards: connections, their pool, and what fails on the way."""
