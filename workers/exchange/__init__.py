"""The built-in exchange: a seeded market behind the WebSocket protocol of Binance spot."""
