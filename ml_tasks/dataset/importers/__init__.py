"""Public data sets and labelled folders into the layout raw/<Class>/: one module for each."""
