//! The wasm entry: hydrates the dashboard.
