"""EdgePusher: puts a blessed bundle where devices fetch it, whole or not at all."""
