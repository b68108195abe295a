"""
The demonstration: a writing application that moves between two nodes, and a witness that remembers every record.
"""
