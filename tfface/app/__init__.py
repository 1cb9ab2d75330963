"""A local page for people: drop a photo, orbit the head, move the light, take the files along (`tfface app`)."""
