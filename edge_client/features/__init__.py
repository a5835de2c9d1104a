"""The one feature code: what a device computes is what the models were trained on.

``spec`` says which features, ``frontend`` computes them from audio, ``resample`` brings audio to
the model's rate.  The Beam transform of ``components`` calls this very code.
"""
