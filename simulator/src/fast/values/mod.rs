//! Values: what a checked program computes, vector by vector.
