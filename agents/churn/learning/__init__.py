"""Learning from any table of labelled rows, and scoring rows with what was learned.

Training needs scikit-learn; scoring needs numpy only. A model is a JSON file named by its own SHA-256, never a pickle.
"""
