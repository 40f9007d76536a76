"""Mail to customers, through whichever mail backend Django is set to use."""
