"""The technologies behind the ports, a file a port and a technology. Only `bootstrap` imports them."""
