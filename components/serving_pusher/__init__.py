"""ServingPusher: TFX's Pusher, but a version appears whole or not at all, and only when new."""
