"""What Chattr does, in terms of the domain and the ports."""
