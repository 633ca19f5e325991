//! The simulated disk against the real one, against a model of what must survive, and in the
//! traps that programs fall into.

mod model;
mod real;
mod traps;
