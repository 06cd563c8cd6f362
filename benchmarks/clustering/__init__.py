"""Clustering beside its peers: scikit-learn, FAISS, flash-kmeans, torch."""
