//! Checkpoint readers and writers, tokenizers, chat templates and the model architectures.
