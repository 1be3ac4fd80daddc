"""What Chattr needs from the world, a module a port. Whatever is stored takes an `Owner` first."""
