"""What the end-to-end tests stand on: mail servers, clients, a scriptable sink, and postern itself."""
