"""The one table of samples, and which data sets train and which test."""
