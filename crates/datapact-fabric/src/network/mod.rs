//! Networks on one machine, of Fabric's own programs.
