//! Runs untrusted programs in namespaces with hard limits and says how they ended.
