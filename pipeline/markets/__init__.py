"""What the venues offer: markets with their steps and fees, and the history of their bars.

ccxt answers both (`venue`), and is imported only when a venue is really asked: it costs half a
second and a hundred megabytes. No stage process imports anything of this package.
"""
