"""The emulated Gemini: generateContent, whole and as server-sent events."""
