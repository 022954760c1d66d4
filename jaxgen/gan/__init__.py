"""The conditional adversarial network (Goodfellow et al., 2014; Mirza & Osindero, 2014)."""
