"""EdgePusher: puts a blessed bundle where devices fetch it, signed, whole or not at all."""
