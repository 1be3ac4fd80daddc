"""The page at `/`: a client of the public API in a browser, made with Gradio.

It keeps who sits before it in its process, so that a balancer in front of several of them needs cookie affinity.
"""
