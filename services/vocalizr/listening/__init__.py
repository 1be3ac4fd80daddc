"""What Vocalizr hears: uploaded sound decoded, whose voice it is, and what is said."""
