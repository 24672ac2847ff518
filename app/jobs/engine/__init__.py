"""How jobs run on arq; see README.md."""
