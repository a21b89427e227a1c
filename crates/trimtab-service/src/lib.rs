//! The use cases and the job queue: what pages, HTTP and command line call.
