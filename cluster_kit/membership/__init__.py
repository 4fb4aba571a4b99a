"""Who is known, who is linked, and what to do about it; pure: values in, values out, time and
jitter passed in.
"""
