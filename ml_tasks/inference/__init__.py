"""A release and bytes in, a result out: the one predictor, in evaluation and in the service."""
