//! Network Block Device protocol.
