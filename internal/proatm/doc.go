// Package proatm is the XML dialect that terminals speak (SPEC 1, SPEC 2):
// <event> with its attributes, <monitoring> with commands, and the answer.
//
// The scanner is strict: what it takes is a well-formed XML 1.0 (5th edition)
// document in UTF-8 without a document type and without processing
// instructions; values are what XML 1.0 says they are. encoding/xml is not
// used: it is no validator (duplicate attributes, two roots and document types
// pass) and costs eight times as much. A fuzz test holds the two together.
package proatm
