"""How a model is served: a bounded queue before it, its work in a thread, honest readiness, KServe's protocols.

The only package that imports kserve.
"""
