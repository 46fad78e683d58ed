"""Where a backbone looks, laid over the image itself: from its tokens through what it was shown. Private."""
