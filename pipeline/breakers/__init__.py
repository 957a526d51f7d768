"""The breakers in the system: who feeds them, what follows from them, and who hears of it."""
