"""Video, image and caption files in and out."""
