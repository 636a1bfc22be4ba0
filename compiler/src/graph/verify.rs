//! (see the module's name)
