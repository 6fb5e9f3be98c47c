//! Nothing of its own: the tests are in `tests/e2e`, what they need is in there too.
