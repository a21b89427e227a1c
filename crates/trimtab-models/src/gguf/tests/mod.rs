//! Tests of the reader: good files, malformed ones by name, damaged ones at random, block values.

mod blocks;
mod damage;
mod encode;
mod good;
mod malformed;
mod raw_header;
