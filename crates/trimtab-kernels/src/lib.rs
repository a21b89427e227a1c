//! Packed weights and the products that read them: reference, AVX2 and portable paths, as burn operations.
