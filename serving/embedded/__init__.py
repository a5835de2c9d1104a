"""A server that answers TensorFlow Serving's REST contract from the same model folder.

It stands in for `tensorflow_model_server` where there is none. It was held to exchanges recorded
from TensorFlow Serving 2.16.1 and differs from it on purpose in these points only:

- The wording after ``JSON Parse error:`` is Python's, with the same status.
- A body, as sent and unpacked, may have at most 64 MB (413); the real server has no limit.
- A document may be nested at most 200 deep (400); the real server crashes at 50,000.
- A tensor may have at most 32 dimensions (NumPy's limit) where the real one allows 254.
- With more than 256 requests at work or 1024 connections the next one is answered 503 at once.
- A new version is loaded once its files have stopped changing for one look (0.2 s).
- A version that cannot be loaded never blocks the others, and when the newest is broken at the
  start the newest sound one is served.
- Long values quoted in an error message are cut.
- Bytes that HTTP parsing takes away before an application sees them cannot be told apart: a lone
  ``?`` or a ``#fragment`` at the end of the path; unknown methods are refused with 400 instead
  of 501.
"""
