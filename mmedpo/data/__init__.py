"""PUBLIC"""
