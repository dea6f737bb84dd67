"""The transactional worker and what it is made of: handling, routing, state, the retry gate."""
