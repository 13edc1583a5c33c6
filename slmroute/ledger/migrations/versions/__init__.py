"""One file for each schema there has been."""
