"""What every room stands on.

Importing torch and Lightning makes hundreds of thousands of objects that stay. Python's collector
goes through them again after every 700 (in 3.11), which costs a sixth of a stage's start; after
every 10,000 it costs next to nothing, and what a stage drops meanwhile is little.
"""

import gc

gc.set_threshold(10_000)
