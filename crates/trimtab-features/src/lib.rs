//! Holds no code: its manifest asks for one set of features of shared dependencies (see `scripts/unify-features.py`).
